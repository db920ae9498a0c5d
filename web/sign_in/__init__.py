"""Sign-in to the dashboard by OpenID Connect."""
