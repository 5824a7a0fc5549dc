//! manifold-aws
