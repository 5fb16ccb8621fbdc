"""imat_jax: multi-task learning on product photos with few labels."""
