"""Loggers for the screen, a file and Slack; secrets are blacked out in all of them.

Each is made from a name, the settings, the secrets and fields that tell its lines from those of
others. Whatever happens to a log, the actor goes on.
"""

from reactors.logtypes.file import get_file_logger
from reactors.logtypes.screen import get_screen_logger
from reactors.logtypes.slack import get_slack_logger

__all__ = ["get_file_logger", "get_screen_logger", "get_slack_logger"]
