"""The command line, one file a command: flags in, one library call, words out."""
