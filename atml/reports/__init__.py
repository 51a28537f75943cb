"""A finished study becomes what users take away: the bundle and its figures."""
