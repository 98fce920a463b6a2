"""The kinds of network, one file each."""
