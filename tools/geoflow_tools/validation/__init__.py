"""What a training reports beside its loss: numbers and contact sheets, a room for each kind."""
