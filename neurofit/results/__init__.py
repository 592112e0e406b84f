"""Results: datasets whose variables have roles; checked, saved, summarised and drawn."""
