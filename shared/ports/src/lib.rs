//! manifold-ports
