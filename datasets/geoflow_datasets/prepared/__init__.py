"""Folders of shapes prepared once, added to later, and streamed from: `geoflow data prepare`."""
