//! A module's parameters by name.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};

/// Flat tensors by dotted path, e.g. `encoder.blocks.3.attention.qkv.weight`.
pub type Flat<B> = BTreeMap<String, Tensor<B, 1>>;

/// All parameters of `module`, flattened.
pub fn collect<B: Backend, M: Module<B>>(module: &M) -> Flat<B> {
    let mut visitor = Collect { path: Vec::new(), found: BTreeMap::new() };
    module.visit(&mut visitor);
    visitor.found
}

/// The gradients of all parameters of `module` that have one, flattened.
pub fn gradients<B: AutodiffBackend, M: Module<B>>(module: &M, gradients: &B::Gradients) -> Flat<B::InnerBackend> {
    let mut visitor = Gradients::<B> { path: Vec::new(), gradients, found: BTreeMap::new() };
    module.visit(&mut visitor);
    visitor.found
}

/// Adds `more`, each under `prefix` and its name, to `sum`.
pub fn add<B: Backend>(sum: &mut Flat<B>, prefix: &str, more: Flat<B>) {
    for (name, tensor) in more {
        let name = format!("{prefix}{name}");
        let total = match sum.remove(&name) {
            Some(old) => old.add(tensor),
            None => tensor,
        };
        sum.insert(name, total);
    }
}

/// Replaces every parameter for which `change` (name, flat value) returns a new flat value of the same length. Whether
/// it is trained stays as it is.
pub fn replace<B, M, F>(module: M, change: F) -> M
where
    B: Backend,
    M: Module<B>,
    F: FnMut(&str, Tensor<B, 1>) -> Option<Tensor<B, 1>>,
{
    module.map(&mut Replace { path: Vec::new(), change })
}

/// `module` with every parameter asking for its gradient, as one that came from the inner backend does not.
pub fn learnable<B: Backend, M: Module<B>>(module: M) -> M {
    module.map(&mut Learn)
}

/// The names of the parameters that learn.
pub fn trained_names<B: Backend, M: Module<B>>(module: &M) -> BTreeSet<String> {
    let mut trained = Trained { path: Vec::new(), names: BTreeSet::new() };
    module.visit(&mut trained);
    trained.names
}

struct Collect<B: Backend> {
    path: Vec<String>,
    found: Flat<B>,
}

impl<B: Backend> ModuleVisitor<B> for Collect<B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let value = param.val();
        let count = value.shape().num_elements();
        self.found.insert(self.path.join("."), value.reshape([count]));
    }
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
}

struct Gradients<'a, B: AutodiffBackend> {
    path: Vec<String>,
    gradients: &'a B::Gradients,
    found: Flat<B::InnerBackend>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Gradients<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            let count = gradient.shape().num_elements();
            self.found.insert(self.path.join("."), gradient.reshape([count]));
        }
    }
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
}

struct Replace<F> {
    path: Vec<String>,
    change: F,
}

impl<B: Backend, F: FnMut(&str, Tensor<B, 1>) -> Option<Tensor<B, 1>>> ModuleMapper<B> for Replace<F> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let value = param.val();
        let shape = value.dims();
        let trained = value.is_require_grad();
        let flat = value.detach().reshape([shape.iter().product::<usize>()]);
        match (self.change)(&self.path.join("."), flat) {
            Some(new) => param.map(|_| new.reshape(shape).detach().set_require_grad(trained)),
            None => param,
        }
    }
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
}

/// Asks for every parameter's gradient.
struct Learn;

impl<B: Backend> ModuleMapper<B> for Learn {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        param.set_require_grad(true)
    }
}

/// Names of the parameters that learn.
struct Trained {
    path: Vec<String>,
    names: BTreeSet<String>,
}

impl<B: Backend> ModuleVisitor<B> for Trained {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if param.val().is_require_grad() {
            self.names.insert(self.path.join("."));
        }
    }
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
}
