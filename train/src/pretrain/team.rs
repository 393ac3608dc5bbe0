//! Several devices of one machine: each with a replica on a thread of its own, and every n-th micro-batch of a step.
//!
//! Everything that mixes micro-batches (targets, sums of gradients) happens on the first device in the order of the
//! micro-batches, so that a step does not depend on how many devices share it. That, and thirteen more crates with a
//! WebSocket stack, is why burn-collective does not do it: it sums in the order of a hash map. Teachers run beside each
//! other; students take turns to launch their passes, see [`crate::ssl::meta_arch`]. It ends at one machine.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use burn::tensor::backend::AutodiffBackend;
use rad_dino_edge::{Error, ErrorKind, Result};

use super::replica::{Learned, Replica};
use crate::data::loader::Batch;
use crate::optim::parameters::Flat;
use crate::ssl::meta_arch::Outputs;

type Taught<B> = Vec<Outputs<<B as AutodiffBackend>::InnerBackend>>;
type Gained<B> = Vec<Learned<<B as AutodiffBackend>::InnerBackend>>;

/// What a helper is told.
enum Order<B: AutodiffBackend> {
    Teach(Vec<(u64, Batch)>),
    Learn(Outputs<B::InnerBackend>, f64),
    Follow(Flat<B::InnerBackend>, f64),
}

/// What a helper answers; to `Follow` nothing.
enum Answer<B: AutodiffBackend> {
    Taught(Result<Taught<B>>),
    Learned(Result<Learned<B::InnerBackend>>),
}

/// A device's thread.
#[derive(Debug)]
struct Helper<B: AutodiffBackend> {
    orders: Option<Sender<Order<B>>>,
    answers: Receiver<Answer<B>>,
    thread: Option<JoinHandle<()>>,
}

/// The devices beside the first.
#[derive(Debug)]
pub struct Team<B: AutodiffBackend> {
    helpers: Vec<Helper<B>>,
}

impl<B: AutodiffBackend> Team<B> {
    /// Nobody beside the first device.
    pub fn alone() -> Self {
        Team { helpers: Vec::new() }
    }

    /// A helper on each of `devices`, which starts as `first` is.
    ///
    /// # Errors
    /// `Internal` when a thread cannot be started.
    pub fn new(first: &Replica<B>, devices: &[B::Device]) -> Result<Self> {
        let helpers = devices.iter().enumerate().map(|(i, device)| Helper::start(i + 1, first.copy(device)));
        Ok(Team { helpers: helpers.collect::<Result<_>>()? })
    }

    /// The teacher's logits of all micro-batches, in order, on the first device; `index` is the first one's number in
    /// the run.
    ///
    /// # Errors
    /// Those of [`Replica::teach`], and `Internal` when a helper gave up.
    pub fn teach(&self, first: &mut Replica<B>, index: u64, batches: Vec<Batch>) -> Result<Taught<B>> {
        let mut shares = self.deal((index..).zip(batches).collect()).into_iter();
        let own = shares.next().unwrap_or_default();
        for (helper, share) in self.helpers.iter().zip(shares) {
            helper.tell(Order::Teach(share))?;
        }
        let mut taught = vec![first.teach(own)?];
        for helper in &self.helpers {
            match helper.hear()? {
                Answer::Taught(outputs) => {
                    taught.push(outputs?.into_iter().map(|outputs| outputs.to_device(&first.device)).collect());
                }
                Answer::Learned(_) => return Err(gave_up()),
            }
        }
        Ok(gathered(taught))
    }

    /// Losses and gradients of the next micro-batches that were taught, in order, gradients on the first device; as many
    /// as there are `targets`, at most one a device.
    ///
    /// # Errors
    /// As [`Team::teach`].
    pub fn learn(&self, first: &mut Replica<B>, targets: Taught<B>, parts: f64) -> Result<Gained<B>> {
        let mut targets = targets.into_iter();
        let own = targets.next();
        let mut asked = Vec::new();
        for (helper, targets) in self.helpers.iter().zip(targets) {
            helper.tell(Order::Learn(targets, parts))?;
            asked.push(helper);
        }
        let mut learned = own.map(|targets| first.learn(targets, parts)).into_iter().collect::<Result<Vec<_>>>()?;
        for helper in asked {
            match helper.hear()? {
                Answer::Learned(one) => {
                    let Learned { gradients, terms } = one?;
                    let here = gradients.into_iter().map(|(name, tensor)| (name, tensor.to_device(&first.device)));
                    learned.push(Learned { gradients: here.collect(), terms });
                }
                Answer::Taught(_) => return Err(gave_up()),
            }
        }
        Ok(learned)
    }

    /// Devices.
    pub fn devices(&self) -> usize {
        self.helpers.len() + 1
    }

    /// The student's new parameters, for all.
    ///
    /// # Errors
    /// `Internal` when a helper gave up.
    pub fn follow(&self, parameters: &Flat<B::InnerBackend>, momentum: f64) -> Result<()> {
        self.helpers.iter().try_for_each(|helper| helper.tell(Order::Follow(parameters.clone(), momentum)))
    }

    /// `all` dealt like cards: the first device's share first.
    fn deal<T>(&self, all: Vec<T>) -> Vec<Vec<T>> {
        let n = self.devices();
        let mut shares: Vec<Vec<T>> = (0..n).map(|_| Vec::new()).collect();
        for (i, one) in all.into_iter().enumerate() {
            shares[i % n].push(one);
        }
        shares
    }
}

/// The reverse of dealing.
fn gathered<T>(shares: Vec<Vec<T>>) -> Vec<T> {
    let mut shares: Vec<_> = shares.into_iter().map(Vec::into_iter).collect();
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(shares.iter_mut().filter_map(Iterator::next));
        if all.len() == before {
            return all;
        }
    }
}

impl<B: AutodiffBackend> Helper<B> {
    fn start(number: usize, mut replica: Replica<B>) -> Result<Self> {
        let (orders, received) = channel();
        let (sender, answers) = channel();
        let thread = std::thread::Builder::new().name(format!("device-{number}")).spawn(move || {
            while let Ok(order) = received.recv() {
                let answer = match order {
                    Order::Teach(batches) => Answer::Taught(replica.teach(batches)),
                    Order::Learn(targets, parts) => Answer::Learned(replica.learn(targets, parts)),
                    Order::Follow(parameters, momentum) => {
                        replica.follow(parameters, momentum);
                        continue;
                    }
                };
                if sender.send(answer).is_err() {
                    return;
                }
            }
        });
        let thread = thread.map_err(|e| Error::new(ErrorKind::Internal, "no thread starts").source(e))?;
        Ok(Helper { orders: Some(orders), answers, thread: Some(thread) })
    }

    fn tell(&self, order: Order<B>) -> Result<()> {
        let sent = self.orders.as_ref().map(|orders| orders.send(order));
        sent.and_then(std::result::Result::ok).ok_or_else(gave_up)
    }

    fn hear(&self) -> Result<Answer<B>> {
        self.answers.recv().map_err(|_| gave_up())
    }
}

impl<B: AutodiffBackend> Drop for Helper<B> {
    fn drop(&mut self) {
        // without orders to come the thread ends
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn gave_up() -> Error {
    Error::new(ErrorKind::Internal, "a device's thread gave up").hint("what it said stands above; --resume goes on")
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::{Autodiff, Flex};

    #[test]
    fn what_is_dealt_comes_back_in_order() {
        for n in 1..7 {
            let all: Vec<usize> = (0..n).collect();
            assert_eq!(gathered(Team::<Autodiff<Flex>>::alone().deal(all.clone())), all);
            let every_second = |first| all.iter().copied().skip(first).step_by(2).collect::<Vec<_>>();
            assert_eq!(gathered(vec![every_second(0), every_second(1)]), all);
        }
    }
}
