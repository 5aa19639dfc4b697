//! [`Cpu`]: a few cores that tasks share by weight, as Linux shares them among threads of unequal
//! nice values. The model is a fluid: a task that becomes runnable has its part at once.

/// The weight of a thread of nice 0, and of one of nice 5 (`sched_prio_to_weight` in Linux).
pub(super) const NICE_0: f64 = 1024.0;
pub(super) const NICE_5: f64 = 335.0;

#[derive(Debug)]
struct Task {
    weight: f64,
    /// The CPU time that it still needs, in nanoseconds; `None` while it sleeps.
    left: Option<f64>,
    /// The part of a core that it has now.
    rate: f64,
    used: f64,
}

#[derive(Debug)]
pub(super) struct Cpu {
    cores: f64,
    tasks: Vec<Task>,
}

impl Cpu {
    pub(super) fn new(cores: usize, weights: impl IntoIterator<Item = f64>) -> Self {
        let task = |weight| Task { weight, left: None, rate: 0.0, used: 0.0 };
        Self { cores: cores as f64, tasks: weights.into_iter().map(task).collect() }
    }

    /// `task`, which slept, needs `nanos` of CPU time.
    pub(super) fn run(&mut self, task: usize, nanos: u64) {
        debug_assert!(self.tasks[task].left.is_none(), "task {task} runs already");
        self.tasks[task].left = Some(nanos as f64);
        self.share();
    }

    /// How long until the first task is done, and its index.
    pub(super) fn first_done(&self) -> Option<(u64, usize)> {
        let done = |(index, task): (usize, &Task)| {
            task.left.map(|left| ((left.max(0.0) / task.rate).ceil() as u64, index))
        };
        self.tasks.iter().enumerate().filter_map(done).min()
    }

    /// Lets `nanos` pass.
    pub(super) fn advance(&mut self, nanos: u64) {
        for task in &mut self.tasks {
            if let Some(left) = &mut task.left {
                let got = task.rate * nanos as f64;
                *left -= got;
                task.used += got;
            }
        }
    }

    /// `task` has had the CPU time that it needed, and sleeps.
    pub(super) fn rest(&mut self, task: usize) {
        self.tasks[task].left = None;
        self.share();
    }

    /// The CPU time that a task has used, in nanoseconds.
    pub(super) fn used(&self, task: usize) -> f64 {
        self.tasks[task].used
    }

    /// Computes the part of each runnable task: by weight, but no more than one core.
    fn share(&mut self) {
        let runnable = self.tasks.iter().filter(|task| task.left.is_some());
        let (mut weights, mut cores) = (runnable.map(|task| task.weight).sum::<f64>(), self.cores);
        for task in &mut self.tasks {
            task.rate = 0.0;
        }
        loop {
            let mut filled = false;
            for task in &mut self.tasks {
                let part = task.weight * cores / weights;
                if task.left.is_some() && task.rate == 0.0 && part >= 1.0 {
                    task.rate = 1.0;
                    weights -= task.weight;
                    cores -= 1.0;
                    filled = true;
                }
            }
            if !filled {
                break;
            }
        }
        for task in self.tasks.iter_mut().filter(|task| task.left.is_some() && task.rate == 0.0) {
            task.rate = task.weight * cores / weights;
        }
    }
}

#[test]
fn a_core_is_shared_by_weight_and_no_task_has_more_than_one() {
    let mut cpu = Cpu::new(1, [1.0, 3.0]);
    cpu.run(0, 100);
    cpu.run(1, 30);
    assert_eq!(cpu.first_done(), Some((40, 1)));
    cpu.advance(40);
    cpu.rest(1);
    assert_eq!(cpu.first_done(), Some((90, 0)), "it has the core alone from here on");
    let mut cpu = Cpu::new(2, [1.0, 1.0, 6.0]);
    (0..3).for_each(|task| cpu.run(task, 100));
    assert_eq!(cpu.first_done(), Some((100, 2)), "a whole core, not three quarters of two");
    cpu.advance(100);
    assert_eq!((cpu.used(0), cpu.used(2)), (50.0, 100.0));
}
