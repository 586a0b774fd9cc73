"""Mistakes that a type checker finds: one on every line that says so, and none elsewhere."""

import numpy as np

import mxopt as mx
import mxopt.v1 as v1

weight = np.ones(3, np.float32)

mx.create("adam", bogus=3)  # wrong
mx.create("adam", momentum=0.9)  # wrong
mx.create("sgd", learning_rate="fast")  # wrong
mx.create("adma", beta1=0.9)  # wrong
mx.create(mx.Adam)  # wrong
mx.optimizer.create("lamb", upper_bond=10.0)  # wrong
v1.create("sgld", momentum=0.9)  # wrong
mx.Adam(bogus=3)  # wrong
mx.Adamm()  # wrong
mx.sgd(learning_rate=0.1)  # wrong
mx.get_updater("adam")  # wrong
mx.get_updater(mx.create("adam")).save_states(3.5)  # wrong
mx.lr_scheduler.FactorScheduler(base_lr=0.1)  # wrong
mx.set_num_threads("2")  # wrong
mx.create("adam").set_learning_rate("0.1")  # wrong
mx.RowSparseArray(weight, [0])  # wrong
mx.clip_global_norm([weight])  # wrong
mx.gluon.Trainer([])  # wrong
