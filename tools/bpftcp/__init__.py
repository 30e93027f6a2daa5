"""Apply, configure, build, boot and test the kernel series of this repository.

Data flows one way: source -> tree -> config -> build -> boot -> results ->
report. Each stage is a module that takes plain values, returns a typed result,
raises its own error (see :mod:`bpftcp.errors`) and never exits the process;
:mod:`bpftcp.cli` is the one place that does.
"""
