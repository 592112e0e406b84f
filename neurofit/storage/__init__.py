"""Files outside `--out`: the cache folder and downloads."""
