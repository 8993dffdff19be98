"""An exhaustive model of the start protocol (docs/architecture.md, "How one attempt runs").

Run it with `tox -e model`, or `python -m tests.model [--all] [NAME...]`; `--help` lists the cases.
It needs nothing but the standard library.

**What it does.** It visits every state that can be reached, in order of the number of steps, and
checks the invariants (the constants at the end of `state.py`) at each start of a container and at
each write of a status. From every state a clean end must remain reachable as well: the run is over,
or the Observatory deleted, and nothing holds a Pod; one controller and the machines must get there
without a user's help. The right protocol must pass in every case. The wrong ones, each the right
one with one rule changed, must be found out: it shows that the model can see such bugs. Their
shortest traces are printed, with controllers A and B.

**What is modelled.** The rules, each named after the function of the product that it stands for:
`core/plan.py`, `progress.py` and `settle.py` in `protocols.py`, `runtime/executor.py` and
`podwriter.py` in `controllers.py`. One status for all tasks, written under its version; POSTs and
GETs before it, patches and deletes after it, one by one in any order. And what goes wrong:

* Two controllers that both believe they lead, each with a cache of the object and one of the Pods,
  as old as can be, and any pause between any two steps.
* Requests that get lost, and answers; crashes anywhere; in `late`, a request that arrives though
  its sender has given up on it or died.
* Pods that are garbage-collected once nothing holds them, that users delete, or force away.
* Users who delete the Observatory or edit its tasks, at any time.

Retries are not in the product yet. They are modelled as its rows prepare for them: a failed attempt
leaves a task that waits, and the next attempt is the row's plus one.

**What is not.**

* Time: anything may take for ever or no time at all. So back-off, leases and the wait for one's own
  writes to come back do not exist, and no promise may rest on them.
* Caches jump to the present: each is some past state of the whole, and never goes back. A list that
  is older than the one before, and one Pod that is newer than another, do not occur.
* A container whose Pod is forced away is taken to stop. On a node that is cut off it may not.
* Nobody but the controllers removes gates or makes Pods of such names; so name conflicts, suspend,
  refused Pods, lost revisions and orphaning are left out. Deleting the Observatory means that it
  stays until its Pods are gone.
* A Pod's name is given a bounded number of UIDs, two if no other number is stated, and at most one
  request is in the air without a sender.

**What the result means.** Within these bounds there is no sequence of such faults, however long and
unlikely, in which the rules break an invariant. That the product plans by these rules is checked in
`test_conformance.py`: from whatever a controller can ever see in the smaller cases (without
retries), the product's `plan` and `settle` ask for the same requests and the same status. That the
executor keeps their order is for the simulated histories and for the tests on a real cluster.

**Why so few states suffice.** The two controllers are alike, so a state and its mirror image are
one. What can make no difference any more, now or later, is dropped from a plan in execution
(`Controllers.narrowed` has the argument). A crash is a plan given up and two caches filled anew, so
it needs no step of its own. And no version is counted, since no status is ever stored twice.
"""
