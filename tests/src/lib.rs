//! manifold-tests
