"""TraceNet with twice as many maps for the statistics: it has more to learn where photos were degraded."""

from __future__ import annotations

from functools import partial

from camtrace.lab.methods.method import Method
from camtrace.lab.methods.trace_net import TraceNet
from camtrace.lab.recipe import TRACES

METHOD = Method(name="trace-net-wide", source="camtrace", make=partial(TraceNet, (32, 64, 256)), recipe=TRACES)
