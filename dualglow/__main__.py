"""`python -m dualglow` is the command `dualglow`."""

from dualglow.cli import main

main()
