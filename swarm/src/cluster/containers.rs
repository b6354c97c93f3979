//! The containers of one node.

use std::ops::Index;
use std::sync::Arc;

use super::Container;

/// The containers of a node by full ID.
#[derive(Clone, Debug, Default)]
pub struct Containers(Vec<Arc<Container>>);

impl Containers {
    /// The container with this full ID.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Container> {
        self.find(id).ok().map(|at| &*self.0[at])
    }

    /// Whether there is one with this full ID.
    #[must_use]
    pub fn contains_key(&self, id: &str) -> bool {
        self.find(id).is_ok()
    }

    /// All of them, by ID.
    pub fn values(&self) -> impl Iterator<Item = &Container> + Clone {
        self.0.iter().map(|container| &**container)
    }

    /// The IDs in their order.
    pub fn keys(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.iter().map(|container| &*container.id)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn shared(&self, id: &str) -> Option<&Arc<Container>> {
        self.find(id).ok().map(|at| &self.0[at])
    }

    pub(super) fn shared_mut(&mut self, id: &str) -> Option<&mut Arc<Container>> {
        self.find(id).ok().map(|at| &mut self.0[at])
    }

    /// Takes over a container, in place of the one with the same ID.
    pub(super) fn insert(&mut self, container: Arc<Container>) {
        match self.find(&container.id) {
            Ok(at) => self.0[at] = container,
            Err(at) => {
                // A node keeps about as many containers as it has: no room to spare for more.
                if self.0.len() == self.0.capacity() {
                    self.0.reserve_exact(self.0.len() / 4 + 1);
                }
                self.0.insert(at, container);
            }
        }
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Arc<Container>> {
        self.find(id).ok().map(|at| self.0.remove(at))
    }

    fn find(&self, id: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|container| (*container.id).cmp(id))
    }
}

impl<Q: AsRef<str> + ?Sized> Index<&Q> for Containers {
    type Output = Container;

    fn index(&self, id: &Q) -> &Container {
        self.get(id.as_ref()).expect("the container is known")
    }
}
