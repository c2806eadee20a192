"""`python -m tfxmodal` is the command `tfxmodal`."""

from tfxmodal.commands.main import main

main()
