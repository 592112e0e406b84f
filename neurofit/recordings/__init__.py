"""Recordings: responses to stimuli, their validation, selection, trials and reliability."""
