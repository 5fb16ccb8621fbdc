"""What networks have in common."""

from flax import linen as nn

ACTIVATIONS = {'relu': nn.relu, 'tanh': nn.tanh}
INITIALIZER = nn.initializers.glorot_uniform()  # Keras's, so the paper's
