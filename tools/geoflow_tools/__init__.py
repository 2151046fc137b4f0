"""Tools around the library: pictures, benchmarks, preparation of data."""
