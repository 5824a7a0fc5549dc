//! manifold-collect
