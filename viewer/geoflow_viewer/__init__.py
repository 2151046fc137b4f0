"""The viewer: one session without a screen, and its faces: a page, a window, a file."""
