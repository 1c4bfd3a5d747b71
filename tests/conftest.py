"""What the tests of several rooms share: `dualglow` as a person gives it, in this process."""

import sys
from collections.abc import Callable

import pytest

Dualglow = Callable[..., str]


@pytest.fixture
def dualglow(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Dualglow:
    """Run `dualglow WORDS`; nothing if it goes well, else (status 1, no traceback) what it says on standard error."""

    from dualglow.cli import main

    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["dualglow", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr().err
        assert ended.value.code in (0, None, 1), said
        assert bool(said) or not ended.value.code
        return said if ended.value.code else ""

    return run
