"""A custom Nadam: gradients scaled in place, states of arrays, a schedule kept as an attribute."""

import mxnet as mx
import numpy as np


@mx.optimizer.register
class ONadam(mx.optimizer.Optimizer):
    def __init__(
        self, learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8, schedule_decay=0.004, **kwargs
    ):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.schedule_decay = schedule_decay
        self.m_schedule = 1.0

    def create_state(self, index, weight):
        return (mx.nd.zeros(weight.shape, weight.context, dtype=weight.dtype),
                mx.nd.zeros(weight.shape, weight.context, dtype=weight.dtype))  # fmt: skip

    def update(self, index, weight, grad, state):
        assert isinstance(weight, mx.nd.NDArray)
        assert isinstance(grad, mx.nd.NDArray)
        self._update_count(index)
        lr, wd = self._get_lr(index), self._get_wd(index)
        t = self._index_update_count[index]
        grad *= self.rescale_grad
        grad += wd * weight
        if self.clip_gradient is not None:
            grad = mx.nd.clip(grad, -self.clip_gradient, self.clip_gradient)
        momentum_t = self.beta1 * (1.0 - 0.5 * (pow(0.96, t * self.schedule_decay)))
        momentum_next = self.beta1 * (1.0 - 0.5 * (pow(0.96, (t + 1) * self.schedule_decay)))
        self.m_schedule = self.m_schedule * momentum_t
        m_schedule_next = self.m_schedule * momentum_next
        m_t, v_t = state
        m_t[:] = self.beta1 * m_t + (1.0 - self.beta1) * grad
        v_t[:] = self.beta2 * v_t + (1.0 - self.beta2) * grad * grad
        grad_prime = grad / (1.0 - self.m_schedule)
        m_t_prime = m_t / (1.0 - m_schedule_next)
        v_t_prime = v_t / (1.0 - pow(self.beta2, t))
        m_t_bar = (1.0 - momentum_t) * grad_prime + momentum_next * m_t_prime
        weight[:] -= lr * m_t_bar / (mx.nd.sqrt(v_t_prime) + self.epsilon)


def main():
    rng = np.random.RandomState(67)
    optimizer = mx.optimizer.create(
        "onadam", learning_rate=0.02, wd=0.01, rescale_grad=0.25, clip_gradient=0.5
    )
    updater = mx.optimizer.get_updater(optimizer)
    weights = [mx.nd.array(rng.normal(size=(4, 2))) for _ in range(2)]
    grads = []
    for _ in range(8):
        grads = [weight * 4 - 1 for weight in weights]
        updater([0, 1], grads, weights)
    found = {f"weight{i}": weight.asnumpy() for i, weight in enumerate(weights)}
    found.update({f"grad{i}": grad.asnumpy() for i, grad in enumerate(grads)})
    return found
