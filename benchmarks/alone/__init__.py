"""bayeskit alone: what a model costs stage by stage, and how that grows. Each module has `measure(task, emit)`."""
