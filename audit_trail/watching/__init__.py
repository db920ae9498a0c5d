"""The process of the watcher, and the targets of the stack that `up` and `demo` run."""
