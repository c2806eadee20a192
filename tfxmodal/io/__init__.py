"""Files: whole or not at all, locked, hashed, read with errors for people, downloaded."""
