"""Embeds large corpora with an exported model. Nothing here imports the library."""


class InputError(Exception):
    """What a user gave is wrong; the message is one sentence that tells the remedy."""
