"""Exact predictive distributions: of an observed variable, or of any latent that is drawn forward.

What the plan integrated is integrated once more, with the new value among the children. A core of one number and a
finite latent are conditioned on, and the predictive is the mixture over them; given them one conjugate parent, or one
Gaussian block, is left. What has no closed form is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax

from bayeskit.conjugate.families import GammaFamily, NaturalFamily, Naturals, natural_family
from bayeskit.distributions.panels import Panels
from bayeskit.errors import ImproperError
from bayeskit.inference.collapsed.cells import CellsCore
from bayeskit.inference.collapsed.lines import LineCore
from bayeskit.inference.collapsed.node_mixtures import core_marginal
from bayeskit.inference.conjugacy import ConjugateUpdate, Refusal, read_child
from bayeskit.inference.contribution import Contribution
from bayeskit.inference.elementwise import one_place
from bayeskit.inference.elimination.conjugate import ConjugatePiece
from bayeskit.inference.elimination.gaussian import GaussianPiece
from bayeskit.inference.exact import ExactComponent, ExactConjugate, ExactFinite, exact_component
from bayeskit.inference.exact_gaussian import ExactGaussian
from bayeskit.inference.exact_wishart import MatrixNormalWishart
from bayeskit.inference.plan import Plan
from bayeskit.inference.predictive.cells import Environment, Labeller, NoClosedForm, gathered, read_cells
from bayeskit.inference.predictive.gaussian import normal_predictive, piece_predictive, wishart_predictive
from bayeskit.inference.predictive.groups import grouped_predictive, own_cells
from bayeskit.inference.predictive.nodes import Nodes, check_size, mixed
from bayeskit.inference.predictive.pairs import pair_predictive
from bayeskit.model.problem import Factor, Latent

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray
Wrap = Callable[..., Any]

_GAUSSIAN = ("Normal", "LogNormal", "MvNormal")


def predictive(plan: Plan, env: Environment, factor: Factor, wrap: Wrap) -> Distribution:
    """Return the distribution of a factor's value given the data, all latents integrated out.

    Parameters
    ----------
    plan : Plan
        How the latents were inferred.
    env : mapping
        What is known, the columns that the factor reads among it.
    factor : Factor
        What is predicted.
    wrap : callable
        Labels arrays over its dims.

    Raises
    ------
    NoClosedForm
        Saying why it has none.
    """
    return Knowledge(plan, env).predictive(factor, wrap)


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What the data say of the latents, and what is known besides."""

    plan: Plan
    env: Environment

    def predictive(self, factor: Factor, wrap: Wrap) -> Distribution:
        """Return the distribution of a factor's value; raises NoClosedForm."""
        names = self.parents(factor)

        def build(nodes: Nodes) -> tuple[Distribution, bool]:
            check_size(nodes.count, int(np.prod(factor.shape, dtype=int)))
            label = Labeller(wrap, factor.shape, nodes.count)
            return self._given(factor, [n for n in names if n not in nodes.names], nodes, label)

        return self.over_nodes(names, factor, build)

    def parents(self, factor: Factor) -> list[str]:
        """Return the latents a factor depends on, all of which must have been integrated out."""
        names = [n for n in self.plan.problem.latents if n in factor.parents]
        others = sorted(factor.parents - self.env.keys() - set(names))
        if others:
            raise NoClosedForm(f"it depends on '{others[0].partition('@')[0]}', which is predicted too")
        for n in names:
            core = self.plan.collapsed_of(n)
            if n in self.plan.sampled or (core is not None and not isinstance(core, LineCore | CellsCore)):
                raise NoClosedForm(f"'{n}' has no closed form ({self.plan.notes[n]})")
        return names

    # ---- what is conditioned on -------------------------------------------------------------------------------------
    def over_nodes(
        self, names: list[str], factor: Factor, build: Callable[[Nodes], tuple[Distribution, bool]]
    ) -> Distribution:
        """Return what has a closed form given a core or a finite latent, mixed over it."""
        cores = {id(c): c for c in (self.plan.collapsed_of(n) for n in names) if c is not None}
        finite = {id(c): c for c in (self.component(n) for n in names) if isinstance(c, ExactFinite)}
        if len(cores) + len(finite) > 1:
            raise NoClosedForm(f"it depends on {len(cores) + len(finite)} things that are integrated numerically")
        for core in cores.values():
            if isinstance(core, CellsCore):
                entry = own_cells(self.plan.problem, core, names, factor, self.env)
                return mixed(partial(self._at_cells, core, entry), core.line.panels, build)
            assert isinstance(core, LineCore)
            return mixed(partial(self._at_core, core), core.line.panels, build)
        found = next(iter(finite.values()), None)
        if found is not None:
            return mixed(lambda _: self._at_values(found, factor), None, build)
        return mixed(lambda _: Nodes(self.env), None, build)

    def _at_core(self, core: LineCore, panels: Panels | None) -> Nodes:
        assert panels is not None
        with np.errstate(all="ignore"):
            values, _ = core.density.scale.unpack(panels.nodes, core.problem.env)
        return Nodes({**self.env, **values}, frozenset(core.core), panels)

    def _at_cells(self, core: CellsCore, entry: Array, panels: Panels | None) -> Nodes:
        """Return the elements of a core at their nodes, weighed for every cell of the factor by its own element's."""
        assert panels is not None
        with np.errstate(all="ignore"):
            values, _ = core.density.unpack(panels.nodes)
        return Nodes({**self.env, **values}, frozenset(core.core), panels.of(entry))

    def _at_values(self, component: ExactFinite, factor: Factor) -> Nodes:
        """Return a finite latent at its values; of a plate of them each cell of the factor must touch one."""
        (name,) = component.names
        latent = self.plan.problem.latents[name]
        with np.errstate(all="ignore"):
            p = softmax(component.found.log_weights(component.problem.env)[0], axis=-1)
        values = np.asarray(component.found.values)
        weights = p.reshape(-1, len(values)).T
        if latent.size > 1:
            places = _place(factor, latent)
            frame = gathered(np.moveaxis(p, -1, 0), places, factor.plates, self.env)
            weights = np.broadcast_to(frame, (len(values), *factor.shape)).reshape(len(values), -1)
        each = np.broadcast_to(values.reshape(-1, *(1,) * len(latent.shape)), (len(values), *latent.shape))
        return Nodes({**self.env, name: each}, frozenset({name}), weights)

    # ---- what is left -----------------------------------------------------------------------------------------------
    def _given(self, factor: Factor, names: list[str], nodes: Nodes, label: Labeller) -> tuple[Distribution, bool]:
        if not names:
            return known(factor, factor.parameter_arrays(nodes.env), label), False
        core = next((c for c in map(self.plan.collapsed_of, names) if c is not None), None)
        if isinstance(core, CellsCore):
            return grouped_predictive(core, factor, names, self.env, nodes.env, label), False
        pieces = [p for p in (core.pieces if core is not None else ()) if set(p.names) & set(names)]
        components = list({id(c): c for c in map(self.component, names) if c is not None}.values())
        if len(names) == 1 and factor.distribution.family not in _GAUSSIAN:
            return self._pair(factor, names[0], nodes, label)
        one = components[0] if len(components) == 1 and not pieces else None
        if isinstance(one, MatrixNormalWishart) and one.matrix_name in names:
            return wishart_predictive(self.plan.problem, one, factor, self.env, label), False
        blocks = [c for c in components if isinstance(c, ExactGaussian)]
        if blocks and len(blocks) == len(components) and not pieces and self._is_linear(factor, names, blocks):
            return normal_predictive(self.plan.problem, blocks, factor, self.env, label), False
        if len(pieces) == 1 and not components and isinstance(pieces[0], GaussianPiece):
            piece, held = pieces[0], set(pieces[0].names)
            if set(names) <= held and factor.distribution.family in _GAUSSIAN and self._in_mean(factor, names):
                return piece_predictive(self.plan.problem, piece, factor, self.env, nodes.env, label), False
        if len(names) == 1:
            return self._pair(factor, names[0], nodes, label)
        raise NoClosedForm(
            f"{', '.join(repr(n) for n in names)} are not one Gaussian block with '{factor.name}' as a normal child"
        )

    def _in_mean(self, factor: Factor, names: list[str]) -> bool:
        return all(n in factor.parameter("mu").variables for n in names) and not any(
            n in e.variables
            for p, e in zip(factor.distribution.parameters, factor.parameters, strict=True)
            for n in names
            if p.name != "mu"
        )

    def _is_linear(self, factor: Factor, names: list[str], blocks: list[ExactGaussian]) -> bool:
        if factor.distribution.family not in _GAUSSIAN:
            return False
        inner = [n for n in names if any(n in b.block.names for b in blocks)]
        return bool(inner) and self._in_mean(factor, inner)

    def component(self, name: str) -> ExactComponent | None:
        """Return the exact component of a latent; one of the prior alone where nothing observed depends on it."""
        found = self.plan.component_of(name)
        return self._forward.get(name) if found is None and name in self.plan.forward else found

    @cached_property
    def _forward(self) -> Mapping[str, ExactComponent]:
        """Exact components of what is drawn forward, where the priors of connected latents have one together."""
        from bayeskit.inference.structure import components

        problem = self.plan.problem
        names = [n for n in self.plan.forward if "@" not in n and problem.latents[n].missing_from is None]
        latents = {n: problem.latents[n] for n in names}
        priors = tuple(latent.prior for latent in latents.values())
        alone = replace(problem, latents=latents, factors=priors, observations=())
        result: dict[str, ExactComponent] = {}
        for group in components(alone, names):
            if any(latents[n].prior.parents & set(problem.latents) - set(names) for n in group):
                continue
            try:
                found = exact_component(alone, group)
            except (ImproperError, np.linalg.LinAlgError):
                continue
            if not isinstance(found, Refusal):
                result |= dict.fromkeys(group, found)
        return result

    # ---- one conjugate parent ---------------------------------------------------------------------------------------
    def _pair(self, factor: Factor, name: str, nodes: Nodes, label: Labeller) -> tuple[Distribution, bool]:
        """Return the predictive of a child of one latent that is in a natural family given the nodes."""
        latent = self.plan.problem.latents[name]
        contribution = read_child(replace(self.plan.problem, env=self.env), factor, latent)
        if isinstance(contribution, Refusal):
            raise NoClosedForm(f"'{factor.name}' is no conjugate child of '{name}': {contribution}")
        family, naturals = self.naturals(name, contribution, nodes.env)
        unknown = sorted(contribution.variables(name) - nodes.env.keys() - {factor.name} - factor.value.variables)
        if unknown:
            raise NoClosedForm(f"it depends on '{unknown[0]}' too")
        if family.name != contribution.rule.prior:
            raise NoClosedForm(f"'{name}' is of the {family.name} family, which has no rule for {contribution.label}")
        if isinstance(family, GammaFamily) and abs(contribution.exponent) != family.power:
            raise NoClosedForm(
                f"'{name}' enters '{factor.name}' by its power {contribution.exponent:g}, in which it is no gamma"
            )
        cells = read_cells(contribution, family, naturals, nodes.env)
        weights = nodes.weights
        return pair_predictive(cells, label, weights)

    def naturals(
        self, name: str, contribution: Contribution | None, env: Environment
    ) -> tuple[NaturalFamily, Naturals]:
        """Return the natural family of a latent and its parameters, given what the environment holds."""
        component = self.component(name)
        if isinstance(component, ExactConjugate):
            return component.update.family, component.naturals
        if isinstance(component, ExactGaussian) and component.scale is not None and name == component.scale.latent.name:
            scale = component.scale
            found = scale.naturals(component.shape, component.rate)
            return scale.family, tuple(n.reshape(1, *scale.latent.shape) for n in found)
        if isinstance(component, MatrixNormalWishart) and name == component.matrix_name:
            return component.family, component.naturals
        core = self.plan.collapsed_of(name)
        for piece in core.pieces if core is not None else ():
            if isinstance(piece, ConjugatePiece) and name in piece.names:
                assert isinstance(core, LineCore)
                return piece.update.family, piece.update.naturals({**core.problem.env, **env})
        if name in self.plan.forward and contribution is not None:
            return self._prior(name, contribution, env)
        raise NoClosedForm(f"'{name}' is in no conjugate family given the rest ({self.plan.notes.get(name, '')})")

    def _prior(self, name: str, contribution: Contribution, env: Environment) -> tuple[NaturalFamily, Naturals]:
        """Return the prior of a latent nothing observed depends on, as the parent of a child."""
        latent = self.plan.problem.latents[name]
        unknown = sorted(latent.prior.parents - env.keys())
        if unknown:
            raise NoClosedForm(f"'{name}' depends on '{unknown[0]}', which is not known")
        family = natural_family(latent.prior.distribution, contribution.rule.prior, {contribution.exponent})
        if isinstance(family, str):
            raise NoClosedForm(family)
        return family, ConjugateUpdate(latent, family, ()).prior(env)


def _place(factor: Factor, latent: Latent) -> Any:
    """Return the one element of a latent that each cell of a factor touches."""
    places = one_place(factor, latent)
    if isinstance(places, Refusal):
        raise NoClosedForm(f"of '{latent.name}': {places}")
    return places


def known(factor: Factor, arrays: list[Array], label: Labeller) -> Distribution:
    """Return a factor's distribution at known parameters, labelled."""
    values: dict[str, Any] = {}
    for parameter, array in zip(factor.distribution.parameters, arrays, strict=True):
        own = parameter.event_ndim
        if own == 0:
            values[parameter.name] = label(array)
        elif parameter.axis is not None:
            values[parameter.name] = label(array, 2, axis=parameter.axis)
        elif own == 2 and len(factor.event) == 1:
            values[parameter.name] = label(array, 2, matrix=True)
        elif not factor.event:
            values[parameter.name] = label(array, 1, category=True)
        else:
            values[parameter.name] = label(array, own)
    return factor.distribution._with(**values) if values else factor.distribution


def marginal(knowledge: Knowledge, factor: Factor, wrap: Wrap) -> Distribution:
    """Return the distribution of the mean of a normal factor: an element of a latent, or a linear form of some.

    Raises
    ------
    NoClosedForm
        Saying why it has none.
    """
    names = knowledge.parents(factor)
    if len(names) == 1:
        core = knowledge.plan.collapsed_of(names[0])
        if core is not None and names[0] in core.core:
            return _core_itself(knowledge, core, factor, wrap)

    def build(nodes: Nodes) -> tuple[Distribution, bool]:
        check_size(nodes.count, int(np.prod(factor.shape, dtype=int)))
        label = Labeller(wrap, factor.shape, nodes.count)
        return _mean_given(knowledge, factor, [n for n in names if n not in nodes.names], nodes, label), False

    return knowledge.over_nodes(names, factor, build)


def vector_mean(knowledge: Knowledge, factor: Factor, wrap: Wrap) -> Distribution:
    """Return the distribution of the mean vector of a multivariate normal factor; raises NoClosedForm."""
    problem, env = knowledge.plan.problem, knowledge.env
    names = [n for n in knowledge.parents(factor) if n in factor.parameter("mu").variables]
    component = knowledge.component(names[0]) if names else None
    label = Labeller(wrap, factor.shape, 1)
    if isinstance(component, MatrixNormalWishart) and set(names) <= set(component.columns.first):
        return wishart_predictive(problem, component, factor, env, label, noise=False)
    if isinstance(component, ExactGaussian) and set(names) <= set(component.block.names):
        return normal_predictive(problem, [component], factor, env, label, noise=False)
    raise NoClosedForm(f"the mean {factor.parameter('mu')} is not linear in one exact Gaussian block")


def _core_itself(knowledge: Knowledge, core: Any, factor: Factor, wrap: Wrap) -> Distribution:
    latent = knowledge.plan.problem.latents[core.core[0]]
    transform = core.transform if isinstance(core, LineCore) else core.density.transform
    if factor.parameter("mu").variables - knowledge.env.keys() != {latent.name}:
        raise NoClosedForm(f"{factor.parameter('mu')} is not an element of '{latent.name}'")
    cells = np.arange(latent.size).reshape(1, *latent.shape)
    entry = gathered(cells, _place(factor, latent), factor.plates, knowledge.env) if latent.shape else cells
    return core_marginal(core.line.panels, transform, wrap(np.broadcast_to(entry, (1, *factor.shape))[0]))


def _mean_given(knowledge: Knowledge, factor: Factor, names: list[str], nodes: Nodes, label: Labeller) -> Distribution:
    problem = knowledge.plan.problem
    if not names:
        raise NoClosedForm(f"{factor.parameter('mu')} has few values, and their distribution is not given")
    core = knowledge.plan.collapsed_of(names[0])
    if isinstance(core, CellsCore):
        return grouped_predictive(core, factor, names, knowledge.env, nodes.env, label, noise=False)
    pieces = [p for p in (core.pieces if core is not None else ()) if set(p.names) & set(names)]
    components = list({id(c): c for c in map(knowledge.component, names) if c is not None}.values())
    blocks = [c for c in components if isinstance(c, ExactGaussian)]
    if blocks and set(names) <= {n for c in blocks for n in c.block.names}:
        return normal_predictive(problem, blocks, factor, knowledge.env, label, noise=False)
    if len(pieces) == 1 and isinstance(pieces[0], GaussianPiece) and set(names) <= set(pieces[0].names):
        return piece_predictive(problem, pieces[0], factor, knowledge.env, nodes.env, label, noise=False)
    if len(names) > 1:
        raise NoClosedForm(f"{', '.join(repr(n) for n in names)} are not one Gaussian block")
    latent = problem.latents[names[0]]
    if latent.prior.event:
        raise NoClosedForm(f"'{latent.name}' is a vector or a matrix")
    places = _place(factor, latent)
    if knowledge.component(names[0]) is None and names[0] in knowledge.plan.forward:
        return _prior_at(latent, places, factor, nodes, label)
    family, naturals = knowledge.naturals(names[0], None, nodes.env)
    picked = tuple(gathered(n, places, factor.plates, nodes.env) for n in naturals)
    return family.distribution(picked, label)


def _prior_at(latent: Latent, places: Any, factor: Factor, nodes: Nodes, label: Labeller) -> Distribution:
    """Return the prior of the elements of a latent nothing observed depends on."""
    prior = latent.prior
    unknown = sorted(prior.parents - nodes.env.keys())
    if unknown:
        raise NoClosedForm(f"'{latent.name}' depends on '{unknown[0]}', which is not known")
    values = {}
    for parameter, array in zip(prior.distribution.parameters, prior.parameter_arrays(nodes.env), strict=True):
        whole = np.broadcast_to(array, (len(array), *latent.shape))
        values[parameter.name] = label(gathered(whole, places, factor.plates, nodes.env))
    return prior.distribution._with(**values)
