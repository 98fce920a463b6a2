"""From scores to the table: ``collect`` gathers one experiment, ``render`` writes the report of several."""
