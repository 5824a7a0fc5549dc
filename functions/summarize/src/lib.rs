//! manifold-summarize
