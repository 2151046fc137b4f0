"""Tables of papers as commands: small, with the papers' own numbers beside."""
