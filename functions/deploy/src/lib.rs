//! manifold-deploy
