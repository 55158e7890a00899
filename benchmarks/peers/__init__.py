"""Other people's ways of doing it, written here from their descriptions, to compare with."""
