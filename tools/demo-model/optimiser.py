"""Muon for the matrices of the blocks, AdamW for embeddings and norms."""
import torch


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum (Jordan et al., 2024). `rows` of a parameter names the parts of a fused matrix."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.05):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                average = self.state[p].setdefault("average", torch.zeros_like(p))
                average.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(average, group["momentum"])
                for part, weight in zip(update.split(p.rows), p.split(p.rows)):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(orthogonal(part), alpha=-group["lr"] * 0.2 * max(weight.shape) ** 0.5)


def orthogonal(g, steps=5):
    """The nearest orthogonal matrix, by Newton-Schulz iterations in bfloat16."""
    x = g.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.T if tall else x).float()


def optimisers(net, lr=0.0025, adam_lr=0.002):
    """Both optimisers; each group remembers its own rate in `base_lr`."""
    for block in net.blocks:
        block.qkv.rows, block.gate_up.rows = net.shape.qkv_rows, [net.shape.mlp] * 2
        block.out.rows, block.down.rows = [net.shape.hidden], [net.shape.hidden]
    matrices = [p for p in net.blocks.parameters() if p.ndim == 2]
    rest = [net.embed, net.ahead, *(p for p in net.parameters() if p.ndim == 1)]
    both = [Muon(matrices, lr), torch.optim.AdamW(rest, adam_lr, betas=(0.9, 0.95), weight_decay=0.0)]
    for o in both:
        for group in o.param_groups:
            group["base_lr"] = group["lr"]
    return both
