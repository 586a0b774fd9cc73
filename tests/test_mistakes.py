"""Common mistakes: each gets one line, and the cure that the line names works."""

import copy
import warnings

import numpy as np
import pytest

import mxopt as mx
import mxopt.v1


def names():
    """What the snippets below work on."""
    mx.random.seed(0)
    return {
        "np": np,
        "mx": mx,
        "v1": mxopt.v1,
        "w": np.ones((4, 3), "f4"),
        "g": np.full((4, 3), 0.5, "f4"),
        "ws": [np.ones(3, "f4"), np.ones(2, "f4")],
        "gs": [np.ones(3, "f4"), np.ones(2, "f4")],
        "adam": mx.get_updater(mx.create("adam")),
        "sgd": mx.get_updater(mx.create("sgd", learning_rate=0.1)),
        "table": np.ones((9, 2), "f4"),
        "rows": mx.RowSparseArray(np.ones((1, 2), "f4"), [4], (9, 2)),
    }


# (mistake, words of the line, what works instead); a snippet that begins with 'warn:' is told and goes on
MISTAKES = [
    # spelling
    ("mx.create('adm')", "did you mean 'adam'", "mx.create('adam')"),
    ("mx.create('Adma')", "did you mean 'adam'", "mx.create('adam')"),
    ("mx.create('rms')", "unknown optimizer 'rms'", "mx.create('rmsprop')"),
    ("mx.create('nadan')", "did you mean", "mx.create('nadam')"),
    ("mx.create('sgd', learning_rat=0.1)", "did you mean 'learning_rate'", "mx.create('sgd', learning_rate=0.1)"),
    ("mx.create('sgd', momentun=0.9)", "did you mean 'momentum'", "mx.create('sgd', momentum=0.9)"),
    ("mx.describe('adagard')", "did you mean 'adagrad'", "mx.describe('adagrad')"),
    ("mx.lr_scheduler.create('cosin', max_update=5)", "did you mean 'cosine'",
     "mx.lr_scheduler.create('cosine', max_update=5)"),
    ("mx.list_optimizers(dialect='1')", "dialect must be", "mx.list_optimizers(dialect='1.x')"),
    ("warn:[sgd(n, g, w) for n in ('fc_weight', 'fc_bias') * 2]; sgd('fc_wieght', g, w)", "did you mean 'fc_weight'",
     "[sgd(n, g, w) for n in ('fc_weight', 'fc_bias') * 3]"),
    ("warn:[sgd(['fc_weight', 'fc_bias'], gs, ws) for _ in range(2)]; sgd(['fc_weight', 'fc_bais'], gs, ws)",
     "did you mean 'fc_bias'", "[sgd(['fc_weight', 'fc_bias'], gs, ws) for _ in range(3)]"),
    ("warn:[sgd('fc_weight', g, w) for _ in range(3)]; sgd('fc_wieght', g, w)", "did you mean 'fc_weight'",
     "[sgd('fc_weight', g, w) for _ in range(4)]"),
    ("warn:o = mx.create('sgd', param_idx2name={0: 'fc_bias'}); o.set_wd_mult({'fc_bais': 0}); "
     "mx.get_updater(o)(0, g, w)", "did you mean 'fc_bias'",
     "o = mx.create('sgd', param_idx2name={0: 'fc_bias'}); o.set_wd_mult({'fc_bias': 0}); mx.get_updater(o)(0, g, w)"),
    # words of other libraries
    ("mx.create('adam', lr=0.1)", "pass learning_rate=0.1", "mx.create('adam', learning_rate=0.1)"),
    ("mx.create('adam', weight_decay=0.1)", "pass wd=0.1", "mx.create('adam', wd=0.1)"),
    ("mx.create('adam', betas=(0.8, 0.9))", "pass beta1=0.8, beta2=0.9", "mx.create('adam', beta1=0.8, beta2=0.9)"),
    ("mx.create('adam', eps=1e-6)", "pass epsilon=1e-06", "mx.create('adam', epsilon=1e-06)"),
    ("v1.optimizer.create('lars', epsilon2=1)", "no argument 'epsilon2'", "v1.optimizer.create('lars', eps=1)"),
    ("mx.create('adam', amsgrad=True)", "no AMSGrad; leave it out", "mx.create('adam')"),
    ("mx.create('sgd', nesterov=True)", "create.'nag'", "mx.create('nag')"),
    ("mx.create('sgd', params=[])", "updater.index, grad, weight.", "mx.create('sgd'); sgd(0, g, w)"),
    ("mx.create('sgd', clipnorm=1.0)", "clip_global_norm", "mx.clip_global_norm([g], 1.0)"),
    ("mx.create('sgd', clipvalue=1.0)", "pass clip_gradient=1.0", "mx.create('sgd', clip_gradient=1.0)"),
    ("mx.create('sgd', batch_size=32)", "pass rescale_grad=1/batch_size", "mx.create('sgd', rescale_grad=1/32)"),
    ("mx.create('sgd', eps=1e-6)", "which is for adabelief, adadelta, adagrad and 20 more; leave it out", "mx.create('sgd')"),
    ("mx.create('adam', momentum=0.9)", "which is for ccsgd, dcasgd, lars and 8 more; leave it out", "mx.create('adam')"),
    ("mx.create('adam', centered=True)", "which is for rmsprop; leave it out", "mx.create('adam')"),
    ("mx.create('adam', unheard_of=1)",
     r"it takes learning_rate, beta1, beta2, epsilon, lazy_update, and what help\(Optimizer\) lists", "mx.create('adam')"),
    ("mx.create('rmsprop', alpha=0.9)", "pass rho=0.9", "mx.create('rmsprop', rho=0.9)"),
    ("mx.create('sgd', fused=True)", "leave it out", "mx.create('sgd')"),
    ("mx.create('sgd', maximize=True)", "rescale_grad=-1", "mx.create('sgd', rescale_grad=-1)"),
    ("mx.create('sgd', scheduler=mx.lr_scheduler.FactorScheduler(5))", "pass lr_scheduler=",
     "mx.create('sgd', learning_rate=None, lr_scheduler=mx.lr_scheduler.FactorScheduler(5))"),
    ("mx.create('adam', mixed_precision=True)", "pass multi_precision=True", "mx.create('adam', multi_precision=True)"),
    # values
    ("mx.create('adam', beta1=1.0)", r"beta1 must be within \[0, 1\)", "mx.create('adam', beta1=0.9)"),
    ("mx.create('adam', epsilon=-1)", "epsilon must be 0 or more", "mx.create('adam', epsilon=0)"),
    ("mx.create('sgd', learning_rate='0.1')", "learning_rate must be a number, got '0.1'",
     "mx.create('sgd', learning_rate=0.1)"),
    ("mx.create('sgd', learning_rate=float('nan'))", "must be a finite number", "mx.create('sgd', learning_rate=0.1)"),
    ("warn:mx.create('sgd', learning_rate=-0.1)", "learning_rate is negative", "mx.create('sgd', rescale_grad=-1)"),
    ("warn:sgd.optimizer.set_learning_rate(-0.1)", "learning_rate is negative", "sgd.optimizer.set_learning_rate(0.1)"),
    ("mx.create('sgd', rescale_grad='1/64')", "rescale_grad must be a number", "mx.create('sgd', rescale_grad=1/64)"),
    ("mx.create('sgd', wd=None)", "wd must be a number", "mx.create('sgd', wd=0)"),
    ("mx.lr_scheduler.MultiFactorScheduler(step=[5, 3])", "step must be increasing",
     "mx.lr_scheduler.MultiFactorScheduler(step=[3, 5])"),
    ("mx.lr_scheduler.MultiFactorScheduler(step=5)", "step must be a list",
     "mx.lr_scheduler.MultiFactorScheduler(step=[5])"),
    ("mx.lr_scheduler.FactorScheduler(step=0.5)", "step must be at least 1", "mx.lr_scheduler.FactorScheduler(step=1)"),
    ("mx.create('sgd', lr_scheduler='cosine')", "make one with lr_scheduler.create",
     "mx.create('sgd', learning_rate=None, lr_scheduler=mx.lr_scheduler.create('cosine', max_update=5))"),
    ("warn:mx.create('sgd', learning_rate=0.1, lr_scheduler=mx.lr_scheduler.FactorScheduler(5, base_lr=0.2))",
     "pass learning_rate=None", "mx.create('sgd', learning_rate=None, "
     "lr_scheduler=mx.lr_scheduler.FactorScheduler(5, base_lr=0.2))"),
    ("o = mx.create('sgd', learning_rate=None, lr_scheduler=mx.lr_scheduler.FactorScheduler(5)); "
     "o.set_learning_rate(0.1)",
     "change lr_scheduler.base_lr", "o = mx.create('sgd', learning_rate=None, lr_scheduler=mx.lr_scheduler.FactorScheduler(5)); "
     "o.lr_scheduler.base_lr = 0.1"),
    ("mx.set_num_threads(0)", "must be an integer of 1 or more", "mx.set_num_threads(1)"),
    ("mx.create('adam', epsilon=1e-46)", "must be 0 or a number that float32 holds, at least 1.2e-38",
     "mx.create('adam', epsilon=1e-30)"),
    # groups
    ("mx.optimizer.Groups('adam', {})", "make one with create.'adam'", "mx.optimizer.Groups(mx.create('adam'), {})"),
    ("mx.optimizer.Groups(mx.create('adam'), {'*_bias': {'weight_decay': 0}})", "pass wd=0",
     "mx.optimizer.Groups(mx.create('adam'), {'*_bias': {'wd': 0}})"),
    ("mx.optimizer.Groups(mx.create('adam'), {'*_bias': {'rescale_grad': 2}})", "give it to the optimizer of the rest",
     "mx.optimizer.Groups(mx.create('adam', rescale_grad=2), {})"),
    ("warn:mx.get_updater(mx.optimizer.Groups(mx.create('sgd'), {'b*': {'wd': 0}}))(0, g, w)", "pass param_idx2name",
     "mx.get_updater(mx.optimizer.Groups(mx.create('sgd'), {'b*': {'wd': 0}}, param_idx2name={0: 'bias'}))(0, g, w)"),
    ("mx.get_updater(mx.optimizer.Groups(mx.create('sgd'), {})).get_states(dump_optimizer=True)",
     "can name it; save without dump_optimizer",
     "mx.get_updater(mx.optimizer.Groups(mx.create('sgd'), {})).get_states()"),
    # order
    ("mx.get_updater('adam')", "make one with create.'adam'", "mx.get_updater(mx.create('adam'))"),
    ("mx.get_updater(mx.Adam)", "make one with create.'adam'", "mx.get_updater(mx.create('adam'))"),
    ("sgd(0, g, w); sgd(0, w, g)", "the order is updater.index, grad, weight.", "sgd(0, g, w); sgd(0, g, w)"),
    ("sgd(w, g, 0)", "the order is updater.index, grad, weight.", "sgd(0, g, w)"),
    ("sgd([0, 1], gs, ws[:1])", "same length", "sgd([0, 1], gs, ws)"),
    ("sgd([0, 0], gs, ws)", "occurs twice", "sgd([0, 1], gs, ws)"),
    ("sgd(0, gs, ws)", "must be an array, got list", "sgd([0, 1], gs, ws)"),
    ("mx.create(learning_rate=0.1)", "name", "mx.create('sgd', learning_rate=0.1)"),
    # types
    ("sgd(0, [0.5] * 3, np.ones(3, 'f4'))", "numpy.asarray", "sgd(0, np.asarray([0.5] * 3, dtype='float32'), np.ones(3, 'f4'))"),
    ("sgd(0, g, [1.0])", "numpy.asarray", "sgd(0, g[0, :1], np.asarray([1.0], dtype='float32'))"),
    ("sgd(0, np.ones(3, 'i8'), np.ones(3, 'f4'))", "astype.'float32'.",
     "sgd(0, np.ones(3, 'i8').astype('float32'), np.ones(3, 'f4'))"),
    ("sgd(0, np.ones(3, 'f4'), np.ones(3, 'i8'))", "astype.'float32'.",
     "sgd(0, np.ones(3, 'f4'), np.ones(3, 'i8').astype('float32'))"),
    ("sgd(0, np.ones(3, complex), np.ones(3, complex))", "must be float32, float64, float16 or bfloat16",
     "sgd(0, np.ones(3), np.ones(3))"),
    ("w.flags.writeable = False; sgd(0, g, w)", "writable copy", "sgd(0, g, np.array(w))"),
    ("sgd(0, np.ma.masked_array(g), w)", "pass its .data", "sgd(0, np.ma.masked_array(g).data, w)"),
    ("sgd(1.5, g, w)", "an index must be an int or a str", "sgd(1, g, w)"),
    ("sgd(0, w, w)", "share memory", "sgd(0, w.copy(), w)"),
    ("sgd(0, np.broadcast_to(np.ones(3, 'f4'), (4, 3)), np.broadcast_to(np.ones(3, 'f4'), (4, 3)))", "numpy.array",
     "sgd(0, np.broadcast_to(np.ones(3, 'f4'), (4, 3)), np.array(np.broadcast_to(np.ones(3, 'f4'), (4, 3))))"),
    ("warn:adam(0, g, w); adam(0, g.astype('f8'), w.astype('f8'))", "del updater.states",
     "adam(0, g, w); del adam.states[0]; adam(0, g.astype('f8'), w.astype('f8'))"),
    ("warn:mx.get_updater(mx.create('adam'))(0, g.astype('f2'), w.astype('f2'))", "multi_precision=True",
     "mx.get_updater(mx.create('adam', multi_precision=True))(0, g.astype('f2'), w.astype('f2'))"),
    # shapes
    ("sgd(0, g.T, w)", r"must fit its weight of shape \(4, 3\)", "sgd(0, g.T.T, w)"),
    ("sgd(0, g.sum(), w)", "must be an array|must fit", "sgd(0, np.full_like(w, g.sum()), w)"),
    ("adam(0, g, w); adam(0, g[:2], w[:2])", r"must fit its weight of shape \(2, 3\)",
     "adam(0, g, w); adam(1, g[:2], w[:2].copy())"),
    ("mx.RowSparseArray(np.ones((1, 3), 'f4'), [4], (9, 2))", r"its shape must be \(k, 2\)",
     "mx.RowSparseArray(np.ones((1, 2), 'f4'), [4], (9, 2))"),
    ("mx.RowSparseArray(np.ones((1, 2), 'f4'), [9], (9, 2))", "outside the 9 rows",
     "mx.RowSparseArray(np.ones((1, 2), 'f4'), [8], (9, 2))"),
    ("mx.RowSparseArray(np.ones((1, 2), 'f4'), [4.0], (9, 2))", "astype.'int64'.",
     "mx.RowSparseArray(np.ones((1, 2), 'f4'), np.array([4.0]).astype('int64'), (9, 2))"),
    ("sgd(0, rows, table[:5])", "must fit its weight", "sgd(0, rows, table)"),
    ("mx.create('lamb', lazy_update=True)", "leave lazy_update out", "mx.create('lamb')"),
    # libraries and files
    ("adam.set_states(b'')", "empty|0 bytes|too short|bytes", "adam.set_states(adam.get_states())"),
    ("adam.load_states('no-such.states')", "No such file", "adam.set_states(adam.get_states())"),
    ("adam(0, g, w); mx.get_updater(mx.create('ftrl')).set_states(adam.get_states())",
     "adam", "mx.get_updater(mx.create('adam')).set_states((adam(0, g, w), adam.get_states())[1])"),
    ("mx.gluon.Trainer([w], 'sgd')", "pass a dict", "mx.gluon.Trainer({'w': w}, 'sgd')"),
    ("mx.gluon.Trainer({'w': w}, 'sgd').step(1)", "grads=", "mx.gluon.Trainer({'w': w}, 'sgd').step(1, grads={'w': g})"),
    ("mx.gluon.Trainer({'w': w}, 'sgd').step(0, grads={'w': g})", "batch_size must not be 0",
     "mx.gluon.Trainer({'w': w}, 'sgd').step(1, grads={'w': g})"),
    ("mx.gluon.Trainer({'w': w}, 'sgd').step(1, grads={'v': g})", "no parameter has that name",
     "mx.gluon.Trainer({'w': w}, 'sgd').step(1, grads={'w': g})"),
]  # fmt: skip


def test_there_are_sixty():
    assert len(MISTAKES) >= 60


@pytest.mark.parametrize(("mistake", "words", "cure"), MISTAKES, ids=[each[0][:50] for each in MISTAKES])
def test_a_mistake_gets_a_line_and_its_cure_works(mistake, words, cure):
    at_hand = names()
    code = mistake.removeprefix("warn:")
    if code != mistake:
        with pytest.warns(UserWarning, match=words) as told:
            exec(code, at_hand)
        assert len(told) == 1
        lines = [str(told[0].message)]
    else:
        # the mistake is the last statement; if it is a step, nothing may have changed
        *before, last = code.split("; ")
        exec("; ".join(before), at_hand)
        arrays = copy.deepcopy([at_hand[name] for name in ("w", "ws", "table")])
        with pytest.raises((ValueError, TypeError, LookupError, OSError, UserWarning), match=words) as caught:
            exec(last, at_hand)
        lines = [str(caught.value)]
        for after, array in zip([at_hand[name] for name in ("w", "ws", "table")], arrays):
            np.testing.assert_array_equal(np.concatenate([np.ravel(a) for a in after]),
                                          np.concatenate([np.ravel(a) for a in array]))  # fmt: skip
    assert lines[0].strip()
    assert "\n" not in lines[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(cure, names())
