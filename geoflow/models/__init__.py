"""Trained models of every kind; `kinds.KINDS` is the table."""
