"""The service and its page: the whole of camtrace over HTTP, on one computer. Needs the extra `camtrace[web]`."""
