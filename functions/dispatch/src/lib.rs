//! manifold-dispatch
