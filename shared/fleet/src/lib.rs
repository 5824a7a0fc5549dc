//! manifold-fleet
