"""Training and experiments: the extra `camtrace[lab]`. Nothing outside this package imports it."""
