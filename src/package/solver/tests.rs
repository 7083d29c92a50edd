//! Tables of the solver.
