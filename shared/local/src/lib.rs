//! manifold-local
