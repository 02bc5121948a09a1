// SPDX-License-Identifier: MIT
/// Waits for Ctrl-C, which must be blocked since the beginning.
pub fn interrupted(block: bool) {
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        let mut which = 0;
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGINT);
        if block {
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        } else {
            libc::sigwait(&set, &mut which);
        }
    }
}
