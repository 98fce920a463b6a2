"""What stages write for each other: frozen dataclasses of each JSON file, one reader, one writer, and statistics."""
