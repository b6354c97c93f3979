//! Requests about one image, or to any engine.

use std::fmt::Write as _;
use std::sync::Arc;

use futures_util::future::join_all;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::cluster::{Cluster, Node};
use crate::ctx::http::{self, streamed};

use super::error::ApiError;
use super::proxy::{pass_on, send_to, with_query};
use super::query::Query;
use super::{Api, Reply, json};

/// What a reference is made of stays as it is in a path.
pub(super) const REFERENCE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b':').remove(b'@').remove(b'.').remove(b'-').remove(b'_');

/// An engine that has an image.
struct Holder {
    addr: String,
    name: String,
}

impl Holder {
    fn of(node: &Node) -> Self {
        Self { addr: node.addr.clone(), name: node.name.clone() }
    }
}

impl Api {
    /// Passes a request on to any engine: where it leads does not depend on which.
    pub(super) async fn to_any(&self, path: &str, request: Request<Incoming>) -> Reply {
        let healthy = self.manager.healthy();
        let chosen = self.manager.ctx.random_below("any-engine", healthy.len() as u64) as usize;
        let engine = healthy.get(chosen).and_then(|addr| self.manager.engine(addr));
        let none = || ApiError::internal("No healthy node available in the cluster");
        let (parts, body) = pass_on(&*engine.ok_or_else(none)?, path, request).await?;
        Ok(Response::from_parts(parts, streamed(body)))
    }

    /// Passes a request on to an engine that has the image: `/images/<name>/<verb>`. A push may name
    /// the tag in its query.
    pub(super) async fn to_holder(
        &self,
        name: &str,
        verb: &str,
        request: Request<Incoming>,
    ) -> Reply {
        let query = Query::parse(request.uri().query());
        let wanted = match (verb, query.text("tag")) {
            ("push", tag) if !tag.is_empty() => format!("{name}:{tag}"),
            _ => name.to_owned(),
        };
        let missing = || ApiError::not_found(format!("No such image: {wanted}"));
        let holder = self.holders(&wanted).into_iter().next().ok_or_else(missing)?;
        let engine = self.manager.engine(&holder.addr).ok_or_else(missing)?;
        let path = format!("/images/{}/{verb}", utf8_percent_encode(name, REFERENCE));
        let (parts, body) = pass_on(&engine, &path, request).await?;
        Ok(Response::from_parts(parts, streamed(body)))
    }

    /// Passes `GET /images/get` on to a healthy engine that has all the images it names.
    pub(super) async fn save_images(&self, query: &Query, request: Request<Incoming>) -> Reply {
        let names: Vec<&str> = query.all("names").collect();
        let has_all = |cluster: &Cluster, node: &&Node| {
            let has = |name: &&str| holders(cluster, name).iter().any(|h| h.addr == node.addr);
            node.is_healthy() && names.iter().all(has)
        };
        let addr = self.manager.with(|cluster| {
            let node = cluster.registered().find(|node| has_all(cluster, node));
            node.map(|node| node.addr.clone())
        });
        let none = || {
            let names = names.join(" ");
            let text = "Unable to find a healthy engine containing all images";
            ApiError::not_found(format!("{text}: [{names}]"))
        };
        let engine = addr.and_then(|addr| self.manager.engine(&addr)).ok_or_else(none)?;
        let (parts, body) = pass_on(&engine, "/images/get", request).await?;
        Ok(Response::from_parts(parts, streamed(body)))
    }

    /// Tags an image on every engine that has it.
    pub(super) async fn tag_image(&self, name: &str, query: Option<&str>) -> Reply {
        let holders = self.holders(name);
        if holders.is_empty() {
            return Err(ApiError::not_found(format!("No such image: {name}")));
        }
        let path = image_path(name, "/tag", query);
        self.change(&holders, &Method::POST, &path).await?;
        let mut response = Response::new(http::empty());
        *response.status_mut() = StatusCode::CREATED;
        Ok(response)
    }

    /// Removes an image from every engine that has it; the reply lists what all of them removed.
    pub(super) async fn remove_image(&self, name: &str, query: Option<&str>) -> Reply {
        let holders = self.holders(name);
        if holders.is_empty() {
            return Err(ApiError::not_found(format!("No such image {name}")));
        }
        let removed = self.change(&holders, &Method::DELETE, &image_path(name, "", query)).await?;
        let lists = removed.into_iter().filter_map(|list| match list {
            Value::Array(rows) => Some(rows),
            _ => None,
        });
        Ok(json(StatusCode::OK, &Value::Array(lists.flatten().collect())))
    }

    /// Makes an image of a container, where that is.
    pub(super) async fn commit(
        self: &Arc<Self>,
        query: &Query,
        request: Request<Incoming>,
    ) -> Reply {
        let name = query.text("container");
        let located = self
            .locate(name)
            .ok_or_else(|| ApiError::not_found(format!("No such container: {name}")))?;
        located.check_healthy(name)?;
        let engine = self.engine_of(&located)?;
        let raw = request.uri().query().unwrap_or_default().to_owned();
        let others = raw.split('&').filter(|pair| pair.split('=').next() != Some("container"));
        let mut path = format!("/commit?container={}", located.id);
        others.for_each(|pair| write!(path, "&{pair}").expect("a String takes any text"));
        let (parts, body) = send_to(&engine, with_query(&path, None)?, request).await?;
        if parts.status == StatusCode::CREATED {
            self.manager.relist_images(&engine).await;
        }
        Ok(Response::from_parts(parts, streamed(body)))
    }

    fn holders(&self, name: &str) -> Vec<Holder> {
        self.manager.with(|cluster| holders(cluster, name))
    }

    /// Makes one call to several engines at once. An engine that turns out not to have the image
    /// is no failure, unless that is true of all.
    async fn change(
        &self,
        holders: &[Holder],
        method: &Method,
        path: &str,
    ) -> Result<Vec<Value>, ApiError> {
        let calls = holders.iter().map(|holder| {
            self.manager.change_images(&holder.addr, method.clone(), path.to_owned())
        });
        let results = join_all(calls).await;
        let some_did = results.iter().any(Result::is_ok);
        let mut done = Vec::new();
        let mut failures = Vec::new();
        for (holder, result) in holders.iter().zip(results) {
            match result {
                Ok(answer) => done.push(answer),
                Err(error) if some_did && error.status() == Some(StatusCode::NOT_FOUND) => {}
                Err(error) => failures.push(format!("{}: {error}", holder.name)),
            }
        }
        if failures.is_empty() { Ok(done) } else { Err(ApiError::internal(failures.join("\n"))) }
    }
}

/// The engines that have an image, healthy ones first. A name without tag means the tag `latest`,
/// where any engine has that.
fn holders(cluster: &Cluster, name: &str) -> Vec<Holder> {
    let latest = cluster.find_image(&format!("{name}:latest"), true);
    let found = if latest.is_empty() { cluster.find_image(name, true) } else { latest };
    found.into_iter().map(Holder::of).collect()
}

fn image_path(name: &str, verb: &str, query: Option<&str>) -> String {
    let name = utf8_percent_encode(name, REFERENCE);
    match query {
        Some(query) => format!("/images/{name}{verb}?{query}"),
        None => format!("/images/{name}{verb}"),
    }
}
