"""Errors that are the user's to mend: the command line prints their message as one line, without a traceback."""


class DualGlowError(Exception):
    """Says what is wrong, where, what was expected and what to do."""


class InputError(DualGlowError):
    """A file or folder that is missing, damaged or not what it should be."""


class ConfigError(DualGlowError):
    """An option or configuration value that cannot be used."""
