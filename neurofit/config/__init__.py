"""How options are declared, registered and checked; no science."""
