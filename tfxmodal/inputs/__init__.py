"""The named inputs that a method asks for, made from raw pairs and cached."""
